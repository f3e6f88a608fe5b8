package cdpsession

import (
	"context"

	"github.com/ai-token-vault/tokenvault"
)

// Capture returns the state of the provider's domains.
func (s *Session) Capture(ctx context.Context) (tokenvault.BrowserState, error) {
	return tokenvault.BrowserState{}, tokenvault.ErrUnavailable
}
