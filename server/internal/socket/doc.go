// Package socket asks the system about sockets what package net does not: the calls that a loop
// makes for every request, without the allocations that the general ones make, and what a door
// needs when it opens and when it closes.
package socket
