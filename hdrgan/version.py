"""The version, in one place: the package, its weights, reports and files all name this one."""

__version__ = "0.2.0"
