"""`doctor`: whether a launch would find all that it needs; each line ok, or what to do."""
