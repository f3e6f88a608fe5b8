package cdpsession

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// restore puts a state into the browser before a page of its origins is opened.
func (s *Session) restore(ctx context.Context, state tokenvault.BrowserState) error {
	return tokenvault.ErrUnavailable
}
