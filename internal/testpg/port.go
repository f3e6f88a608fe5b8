package testpg

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
)

// FreePort returns a port of loopback at which nothing listens. It is below those that
// systems give out by themselves, so that no connection of another program takes it
// before it is used.
func FreePort() (port int, err error) {
	for range 100 {
		port = 20_000 + rand.IntN(10_000) //nolint:gosec // no secret
		var l net.Listener
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
