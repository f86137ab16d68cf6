"""What learners click on; each has an equal text form."""
