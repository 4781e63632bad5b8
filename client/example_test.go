package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"

	"gcd/client"
)

// counter is a server without topics, just large enough for the examples. It speaks the protocol and RESP.
type counter struct {
	mu  sync.Mutex
	sum int
}

// startServer runs a counter.
func startServer() (addr string, stop func()) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	var c counter
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				c.serve(bufio.NewReader(conn), conn)
			})
		}
	})
	return listener.Addr().String(), func() {
		listener.Close()
		running.Wait()
	}
}

func (c *counter) serve(from *bufio.Reader, to io.Writer) {
	switch first, _ := from.Peek(1); string(first) {
	case "\x00":
		to.Write([]byte{0x80, byte(c.count())})
		return
	case "\x01":
		c.reset()
		io.WriteString(to, "\x81")
		return
	}
	for lines := bufio.NewScanner(from); lines.Scan(); {
		switch lines.Text() {
		case "PING":
			io.WriteString(to, "+PONG\r\n")
		case "GCD.COUNT":
			fmt.Fprintf(to, ":%d\r\n", c.count())
		case "GCD.RESET":
			c.reset()
			io.WriteString(to, "+OK\r\n")
		}
	}
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum++
	return c.sum
}

func (c *counter) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sum = 0
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

// Many calls in flight share a connection.
func ExampleClient_CountAsync_many() {
	addr, stop := startServer()
	defer stop()
	c, err := client.New(addr, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

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
	c, err := client.New("127.0.0.1:5555", client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	first, last, err := c.CountN(context.Background(), "orders", 100)
	fmt.Println(first, last, err) // after 5 counts: 6 105 <nil>
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
