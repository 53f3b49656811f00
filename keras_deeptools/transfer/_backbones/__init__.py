"""Pretrained networks without their heads, on pixels from 0 to 255."""
