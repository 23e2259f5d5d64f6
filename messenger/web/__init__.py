"""Words shared by all HTTP edges: who may come in, how a body is read, how an answer is written."""
