package cdpsession

import (
	"context"
	"errors"
)

// Run runs a script in the active tab's page, as a script of the page would.
func Run(ctx context.Context, s *Session, script string) error {
	s.mu.Lock()
	t := s.active()
	s.mu.Unlock()
	var answer struct{ ExceptionDetails any }
	if err := s.call(ctx, t.session, "Runtime.evaluate", object{"expression": script, "userGesture": true}, &answer); err != nil {
		return err
	}
	if answer.ExceptionDetails != nil {
		return errors.New("the script failed")
	}
	return nil
}
