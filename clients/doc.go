// Package clients tests gcd against what others have written for Redis: client libraries of eight
// languages, and the parser of redcon. It is a module of its own, so that nothing of them reaches
// who uses or builds gcd, and it has no code but tests, and small programs in the other languages
// that count as a test tells them.
package clients
