# SPDX-License-Identifier: ISC
"""The parts of the stand-in; ../standin.py is its door."""
