"""What tests share: networks at tiny size, forged files, a hub on the loopback, runs rendered once."""
