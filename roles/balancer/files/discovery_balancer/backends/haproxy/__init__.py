"""HAProxy as a backend."""
