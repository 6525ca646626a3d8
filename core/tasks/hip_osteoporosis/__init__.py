"""Hip osteoporosis on a frontal hip radiograph: osteoporosis or not, after the 2023 Tunghai University system."""
