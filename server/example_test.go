package server_test

import (
	"context"
	"log"
	"os"
	"os/signal"

	"gcd/server"
)

// A Go program that is a counter service.
func ExampleListenAndServe() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := server.ListenAndServe(ctx, server.Options{Data: "./gcd-data"}); err != nil {
		log.Fatal(err)
	}
}
