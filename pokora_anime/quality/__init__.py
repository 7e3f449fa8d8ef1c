"""What a run looks like and how good it is: contact sheets and scores."""
