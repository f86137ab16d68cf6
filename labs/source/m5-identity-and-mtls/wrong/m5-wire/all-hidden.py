# Encrypted is encrypted.
visible = set()
