package store_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"gcd/store"
)

// A Go program that keeps counters in a directory, without a server.
func Example() {
	dir, err := os.MkdirTemp("", "counters")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	for range 2 { // the second time it finds what the first one counted
		counters, err := store.Open(dir, store.Options{})
		if err != nil {
			log.Fatal(err)
		}
		n, err := counters.Count(context.Background(), "orders")
		fmt.Println(n, err)
		if err := counters.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}
