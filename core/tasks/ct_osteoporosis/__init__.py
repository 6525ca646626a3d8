"""Normal, osteopenia or osteoporosis on an axial CT slice of the spine."""
