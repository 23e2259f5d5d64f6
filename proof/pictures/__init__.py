"""The chat page in pictures: people who have something to say, and every state of the page worth looking at."""
