"""Lesions of the retina in fundus photographs."""
