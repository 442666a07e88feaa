"""Firmware and protocol on emulated processors."""
