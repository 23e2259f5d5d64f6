// The client library.
export {};
