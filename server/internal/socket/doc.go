// Package socket asks the system about sockets what package net does not, and a door needs when it
// opens and when it closes.
package socket
