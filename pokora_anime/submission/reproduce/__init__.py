"""A bundle's runs rendered again and compared."""
