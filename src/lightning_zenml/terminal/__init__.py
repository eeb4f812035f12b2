"""What programs write to a terminal, made readable for a log, which shows each line by itself and takes none back."""
