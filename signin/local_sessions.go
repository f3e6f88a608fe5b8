package signin

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/envelope"
)

const (
	sessionsFile = "signin-local.json"
	maxSessions  = 50 // browsers of one person; the oldest gives way
	maxLinks     = 20
)

// A grant is the hash of a secret that somebody holds, and how long it counts.
type grant struct {
	Hash      string    `json:"sha256"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// localSessions holds who is signed in and which links are out.
type localSessions struct {
	owner tokenvault.Owner
	path  string // empty: memory only

	mu       sync.Mutex // protects what follows
	sessions []grant
	links    []grant
}

func openLocalSessions(dir string, owner tokenvault.Owner) (*localSessions, error) {
	s := &localSessions{owner: owner}
	if dir == "" {
		return s, nil
	}
	s.path = filepath.Join(dir, sessionsFile)
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("local sign-in: %w", err)
	}
	// Whoever can write the file can sign in.
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("local sign-in: %s can be used by others: run 'chmod 600 %s'", s.path, s.path)
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		return nil, fmt.Errorf("local sign-in: %w", err)
	}
	if err := json.Unmarshal(data, &s.sessions); err != nil {
		return nil, fmt.Errorf("local sign-in: %s is damaged: delete it and sign in again", s.path)
	}
	return s, nil
}

// until returns when the session ends whose secret a browser holds; zero if there is
// none.
func (s *localSessions) until(secret string, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := find(s.sessions, s.hash("session", secret), now); i >= 0 {
		return s.sessions[i].ExpiresAt
	}
	return time.Time{}
}

// addLink remembers a link's token.
func (s *localSessions) addLink(token string, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = push(s.links, grant{s.hash("link", token), expires}, maxLinks, time.Now())
}

// linkValid reports whether the token would sign in now. It spends nothing.
func (s *localSessions) linkValid(token string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return find(s.links, s.hash("link", token), now) >= 0
}

// redeem spends the link and returns the secret of a new session. It fails with
// errLink; if the session cannot be stored, the link is not spent.
func (s *localSessions) redeem(token string, now time.Time) (secret string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := find(s.links, s.hash("link", token), now)
	if i < 0 {
		return "", errLink
	}
	secret = random256()
	sessions := push(s.sessions, grant{s.hash("session", secret), now.Add(sessionTTL).UTC()}, maxSessions, now)
	if err := s.save(sessions); err != nil {
		return "", err
	}
	s.sessions = sessions
	s.links = slices.Delete(s.links, i, i+1)
	return secret, nil
}

// hash binds a secret to what it is for and to whom it signs in, so that a file
// that is taken over by another user's vault signs nobody in.
func (s *localSessions) hash(use, secret string) string {
	sum := sha256.Sum256(envelope.AAD("local", use, s.owner.Tenant, s.owner.UserID, secret))
	return hex.EncodeToString(sum[:])
}

func find(grants []grant, hash string, now time.Time) int {
	found := -1
	for i, g := range grants {
		if subtle.ConstantTimeCompare([]byte(g.Hash), []byte(hash)) == 1 && now.Before(g.ExpiresAt) {
			found = i
		}
	}
	return found
}

// push returns the grants that still count and one more, the newest limit.
func push(grants []grant, g grant, limit int, now time.Time) []grant {
	kept := make([]grant, 0, len(grants)+1)
	for _, old := range grants {
		if now.Before(old.ExpiresAt) {
			kept = append(kept, old)
		}
	}
	kept = append(kept, g)
	return kept[max(0, len(kept)-limit):]
}

// save replaces the file in one step.
func (s *localSessions) save(sessions []grant) error {
	if s.path == "" {
		return nil
	}
	data, err := json.MarshalIndent(sessions, "", "  ")
	if err != nil {
		return fmt.Errorf("local sign-in: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.path), "."+sessionsFile+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("local sign-in: %w", err)
	}
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return fmt.Errorf("local sign-in: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}
