package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"

	"gcd/client"
)

// startServer runs a counter without topics, just large enough for the examples.
func startServer() (addr string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for sum := byte(0); ; {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			request := make([]byte, 100)
			if n, _ := conn.Read(request); n > 0 && request[0] == 1 {
				sum = 0
				io.WriteString(conn, "\x81")
			} else if n > 0 {
				sum++
				conn.Write([]byte{0x80, sum})
			}
			conn.Close()
		}
	})
	return listener.Addr().String(), func() {
		listener.Close()
		running.Wait()
	}
}

func Example() {
	addr, stop := startServer()
	defer stop()

	c, err := client.New(addr, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	for range 3 {
		n, err := c.Count(ctx, "orders")
		fmt.Println(n, err)
	}
	fmt.Println(c.Reset(ctx, "orders"))
	fmt.Println(c.Count(ctx, "orders"))
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
	// <nil>
	// 1 <nil>
}

func ExampleClient_CountAsync() {
	addr, stop := startServer()
	defer stop()
	c, err := client.New(addr, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	call := c.CountAsync(context.Background(), "orders")
	// Other work has its place here.
	<-call.Done()
	fmt.Println(call.Result())
	// Output: 1 <nil>
}

func ExampleWrap() {
	addr, stop := startServer()
	defer stop()
	c, err := client.New(addr, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	greet := func(context.Context) (string, error) { return "hello", nil }
	stamped := client.Wrap(c, "greetings", greet)
	fmt.Println(stamped(context.Background()))
	fmt.Println(stamped(context.Background()))
	// Output:
	// 1 hello <nil>
	// 2 hello <nil>
}

func ExampleWrapAsync() {
	addr, stop := startServer()
	defer stop()
	c, err := client.New(addr, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	greet := func(context.Context) (string, error) { return "hello", nil }
	call := client.WrapAsync(c, "greetings", greet)(context.Background())
	<-call.Done()
	fmt.Println(call.Result())
	// Output: 1 hello <nil>
}

// The one-liners ask 127.0.0.1:5555 over UDP for the topic "default", or for the topic named.
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
