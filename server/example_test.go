package server_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"gcd/client"
	"gcd/server"
	"gcd/store"
)

// A Go program that is a counter service: counters in a directory, and a server in front of them.
func Example() {
	dir, err := os.MkdirTemp("", "counters")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// The doors open when the directory is locked and before it is read. Clients that come while
	// the counters are loaded wait, and are told if that takes long.
	srv, err := server.New(nil, server.Options{TCP: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	counters, err := store.Open(dir, store.Options{Locked: srv.AnswerLoading})
	if err != nil {
		log.Fatal(err) // a program that goes on has to Shutdown the server
	}
	srv.Use(counters)
	served := make(chan error, 1)
	go func() { served <- srv.Serve() }() // it ends by itself, too, when the store has failed

	c, err := client.New(srv.TCPAddr().String(), client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	n, err := c.Count(context.Background(), "orders")
	fmt.Println(n, err)
	c.Close()

	// A planned stop answers what is under way, and refuses what comes now. Then nobody asks the
	// store any more.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		log.Print("some clients were cut off: ", err)
	}
	<-served
	if err := counters.Close(); err != nil {
		log.Fatal(err)
	}
	// Output: 1 <nil>
}
