"""Every package folder below hdl, host and sim is installed, under the namespace `bandgap`."""

from setuptools import find_packages, setup

setup(packages=[f"bandgap.{name}" for name in find_packages(include=["hdl*", "host*", "sim*"])])
