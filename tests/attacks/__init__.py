"""The attack corpus: one test a way in, each naming the code that refuses or finds it."""
