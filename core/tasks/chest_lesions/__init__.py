"""Seven findings with their boxes on a PA chest radiograph, after the 2023 Tunghai University chest system."""
