package client_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"gcd/client"
	"gcd/client/clienttest"
)

// connect is a client of a server in memory, in place of
//
//	c, err := client.New("127.0.0.1:5555", client.Options{})
func connect() (c *client.Client, stop func()) {
	server := clienttest.NewServer()
	c, err := server.NewClient(client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return c, func() {
		c.Close()
		server.Close()
	}
}

func Example() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()
	for range 3 {
		n, err := c.Count(ctx, "orders")
		fmt.Println(n, err)
	}
	fmt.Println(c.Get(ctx, "orders")) // counts nothing
	fmt.Println(c.Reset(ctx, "orders"))
	fmt.Println(c.Count(ctx, "orders"))
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
	// 3 <nil>
	// <nil>
	// 1 <nil>
}

func ExampleClient_CountAsync() {
	c, stop := connect()
	defer stop()

	call := c.CountAsync(context.Background(), "orders")
	// Other work has its place here.
	<-call.Done()
	fmt.Println(call.Result())
	// Output: 1 <nil>
}

// Many calls in flight share a connection.
func ExampleClient_CountAsync_many() {
	c, stop := connect()
	defer stop()

	var calls []*client.Call
	for range 1000 {
		calls = append(calls, c.CountAsync(context.Background(), "orders"))
	}
	for i, call := range calls {
		if n, err := call.Result(); err != nil || i%250 == 249 {
			fmt.Println(n, err)
		}
	}
	// Output:
	// 250 <nil>
	// 500 <nil>
	// 750 <nil>
	// 1000 <nil>
}

// A range is taken by one command.
func ExampleClient_CountN() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()

	fmt.Println(c.Count(ctx, "orders"))
	fmt.Println(c.CountN(ctx, "orders", 100))
	fmt.Println(c.Count(ctx, "orders"))
	// Output:
	// 1 <nil>
	// 2 101 <nil>
	// 102 <nil>
}

// Several topics are counted together.
func ExampleClient_CountMany() {
	c, stop := connect()
	defer stop()

	sums, err := c.CountMany(context.Background(), "orders", "orders/2026-11", "orders")
	fmt.Println(sums, err)
	// Output: [1 1 2] <nil>
}

func ExampleClient_Info() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()

	c.CountN(ctx, "orders", 5)
	c.Reset(ctx, "orders")
	c.Count(ctx, "orders")
	info, err := c.Info(ctx, "orders")
	fmt.Println(info.Sum, info.Epoch, err)
	// Output: 1 1 <nil>
}

func ExampleWrap() {
	c, stop := connect()
	defer stop()

	greet := func(context.Context) (string, error) { return "hello", nil }
	stamped := client.Wrap(c, "greetings", greet)
	fmt.Println(stamped(context.Background()))
	fmt.Println(stamped(context.Background()))
	// Output:
	// 1 hello <nil>
	// 2 hello <nil>
}

func ExampleWrapAsync() {
	c, stop := connect()
	defer stop()

	greet := func(context.Context) (string, error) { return "hello", nil }
	call := client.WrapAsync(c, "greetings", greet)(context.Background())
	<-call.Done()
	fmt.Println(call.Result())
	// Output: 1 hello <nil>
}

// The one-liners ask 127.0.0.1:5555 for the topic "default", or for the topic named.
func ExampleCount() {
	n, err := client.Count(context.Background())
	fmt.Println(n, err)
	n, err = client.Count(context.Background(), "orders")
	fmt.Println(n, err)
}

// What a failed call leaves to decide.
func ExampleRefusedError() {
	n, err := client.Count(context.Background(), "orders")
	var refused *client.RefusedError
	switch {
	case err == nil:
		fmt.Println(n)
	case errors.As(err, &refused):
		fmt.Println("surely not counted, the server says why:", refused.Code, refused.Text)
	case errors.Is(err, client.ErrNotSent):
		fmt.Println("surely not counted, try again later:", err)
	case errors.Is(err, client.ErrUnknown):
		fmt.Println("perhaps counted, doing it again may leave a gap:", err)
	}
}

// A loop that tries again as long as nothing can be counted twice by it.
func ExampleRetryable() {
	server := clienttest.NewServer()
	defer server.Close()
	c, err := server.NewClient(client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	server.Stop() // as if it were started anew

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := c.Count(ctx, "orders")
	for client.Retryable(err) && ctx.Err() == nil { // the client itself waits longer and longer between connections
		server.Start()
		n, err = c.Count(ctx, "orders")
	}
	fmt.Println(n, err)
	// Output: 1 <nil>
}

// Over TLS, where a proxy in front of the server ends it.
func ExampleOptions_tls() {
	dialer := &tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS13}}
	c, err := client.New("counter.example:5556", client.Options{Dial: dialer.DialContext})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}

// Over a unix socket, where a proxy in front of the server has one.
func ExampleOptions_unix() {
	c, err := client.New("/run/counter.sock", client.Options{
		Dial: func(ctx context.Context, _, path string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}
