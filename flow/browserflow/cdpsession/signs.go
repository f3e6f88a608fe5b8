package cdpsession

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// signs is what was seen of a login so far; protected by the session's lock.
type signs struct{ seen bool }

func (g *signs) authenticated() bool { return g.seen }

// Await blocks until the provider's signs of a login are there.
func (s *Session) Await(ctx context.Context) error { return tokenvault.ErrUnavailable }
