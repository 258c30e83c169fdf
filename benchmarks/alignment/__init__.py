"""Alignment: time, memory and error, beside RELION and MotionCor3."""
