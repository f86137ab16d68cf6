"""What the labs' texts use beside the engine: pictures, measurements and small machines of one subject each."""
