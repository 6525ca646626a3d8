"""The experiments of the reference systems, each declared in one place and run again on our data, its leaks beside none."""
