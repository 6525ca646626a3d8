"""Results in the forms they leave the program in."""
