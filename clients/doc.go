// Package clients tests gcd against what others have written for Redis: the client libraries go-redis and redigo, and the parser of
// redcon. It is a module of its own, so that nothing of them reaches who uses or builds gcd, and it has no code but tests.
package clients
