package clienttest_test

import (
	"context"
	"errors"
	"fmt"

	"gcd/client"
	"gcd/client/clienttest"
)

// takeOrder is what a program does with its counter.
func takeOrder(ctx context.Context, c *client.Client) string {
	n, err := c.Count(ctx, "orders")
	switch {
	case err == nil:
		return fmt.Sprint("order ", n)
	case errors.Is(err, client.ErrUnknown):
		return "no number, and one may be missing"
	default:
		return "no number"
	}
}

func Example() {
	server := clienttest.NewServer()
	defer server.Close()
	c, err := server.NewClient(client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	ctx := context.Background()

	fmt.Println(takeOrder(ctx, c))
	server.LoseAnswers(1)
	fmt.Println(takeOrder(ctx, c))
	fmt.Println(takeOrder(ctx, c))
	fmt.Println(server.Topic("orders").Sum)
	// Output:
	// order 1
	// no number, and one may be missing
	// order 3
	// 3
}
