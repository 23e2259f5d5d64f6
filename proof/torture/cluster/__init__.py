"""Torture of three machines: what breaks is a machine or a part of it, and two servers go on in front of them."""
