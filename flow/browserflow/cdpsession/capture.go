package cdpsession

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ai-token-vault/tokenvault"
)

// What is read of one origin's databases: tokens are small, and caches are not
// wanted.
const (
	maxDatabases  = 32
	maxRecords    = 2000      // of one store
	maxStoreBytes = 512 << 10 // of one store
	maxAllBytes   = 2 << 20
)

const captureWithin = 60 * time.Second

// Capture returns the state of the provider's domains: cookies, what live tabs and
// frames keep, what tabs kept that are gone, and, for every origin that was seen,
// what it keeps on disk. Nothing is sent to the service for it.
func (s *Session) Capture(ctx context.Context) (tokenvault.BrowserState, error) {
	ctx, cancel := context.WithTimeout(ctx, captureWithin)
	defer cancel()
	s.mu.Lock()
	err, open := s.ended(), s.phase == tokenvault.BrowserOpen
	width, height := s.width, s.height
	s.mu.Unlock()
	switch {
	case err != nil:
		return tokenvault.BrowserState{}, err
	case !open:
		return tokenvault.BrowserState{}, fmt.Errorf("browser session: the browser has not started: %w", tokenvault.ErrUnavailable)
	}
	state, agent, err := s.read(ctx)
	if err != nil {
		if ended := s.hasEnded(); ended != nil {
			return tokenvault.BrowserState{}, ended
		}
		return tokenvault.BrowserState{}, fmt.Errorf("browser session: the state cannot be read: %w", tokenvault.ErrUnavailable)
	}
	text, err := fitting(state.Of(s.login))
	if err != nil {
		return tokenvault.BrowserState{}, err
	}
	return tokenvault.BrowserState{StorageState: text, UserAgent: agent, Width: width, Height: height}, nil
}

func (s *Session) hasEnded() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended()
}

// fitting encodes a state; without databases if it is too large with them.
func fitting(state tokenvault.StorageState) (tokenvault.Secret, error) {
	text, err := state.JSON()
	if err != nil {
		for i := range state.Origins {
			state.Origins[i].IndexedDB = nil
		}
		text, err = state.JSON()
	}
	return text, err
}

func (s *Session) read(ctx context.Context) (state tokenvault.StorageState, agent string, err error) {
	if state.Cookies, err = s.cookies(ctx); err != nil {
		return state, "", err
	}
	s.readLive(ctx)
	s.mu.Lock()
	origins := slices.Clone(s.mirror.origins)
	state.SessionStorage, state.PartitionedLocalStorage = s.mirror.storages()
	s.mu.Unlock()
	if state.Origins, agent, err = s.readOrigins(ctx, origins); err != nil {
		return state, "", err
	}
	return state, agent, nil
}

// A cookie is as the protocol writes it.
type cookie struct {
	Name         string        `json:"name"`
	Value        string        `json:"value"`
	Domain       string        `json:"domain"`
	Path         string        `json:"path"`
	Expires      float64       `json:"expires"`
	HTTPOnly     bool          `json:"httpOnly"`
	Secure       bool          `json:"secure"`
	SameSite     string        `json:"sameSite,omitempty"`
	PartitionKey *partitionKey `json:"partitionKey,omitempty"`
}

type partitionKey struct {
	TopLevelSite         string `json:"topLevelSite"`
	HasCrossSiteAncestor bool   `json:"hasCrossSiteAncestor"`
}

// cookies returns those of the provider's domains.
func (s *Session) cookies(ctx context.Context) ([]tokenvault.StateCookie, error) {
	var got struct{ Cookies []cookie }
	if err := s.call(ctx, "", "Storage.getCookies", s.inContext(object{}), &got); err != nil {
		return nil, err
	}
	var all []tokenvault.StateCookie
	for _, c := range got.Cookies {
		if !s.login.CoversCookie(c.Domain) {
			continue
		}
		kept := tokenvault.StateCookie{
			Name: c.Name, Value: tokenvault.StateText(c.Value), Domain: c.Domain, Path: c.Path, Expires: c.Expires,
			HTTPOnly: c.HTTPOnly, Secure: c.Secure, SameSite: cmp.Or(c.SameSite, "Lax"),
		}
		if p := c.PartitionKey; p != nil {
			kept.PartitionKey, kept.HasCrossSiteAncestor = p.TopLevelSite, p.HasCrossSiteAncestor
		}
		all = append(all, kept)
	}
	return all, nil
}

// readLive brings the mirror up to what live tabs and frames keep. A frame that goes
// away meanwhile is left as it was.
func (s *Session) readLive(ctx context.Context) {
	s.mu.Lock()
	var live []*target
	for _, t := range s.top { // the active tab last: what it keeps counts
		live = append(live, s.framesOf(t)...)
	}
	s.mu.Unlock()
	for _, t := range live {
		var tree struct{ FrameTree frameTree }
		if s.call(ctx, t.session, "Page.getFrameTree", nil, &tree) == nil {
			for _, id := range tree.FrameTree.ids(nil) {
				s.readFrame(ctx, t, id)
			}
		}
	}
}

// framesOf returns a tab's frames in processes of their own, then the tab. The lock
// is held.
func (s *Session) framesOf(tab *target) (all []*target) {
	for _, t := range s.targets {
		if t.parent != nil && t.page() == tab {
			all = append(all, t)
		}
	}
	return append(all, tab)
}

// readFrame brings the mirror up to what one frame keeps.
func (s *Session) readFrame(ctx context.Context, t *target, id string) {
	var frame struct{ StorageKey string }
	if s.call(ctx, t.session, "Storage.getStorageKey", object{"frameId": id}, &frame) != nil {
		return
	}
	for _, a := range []area{{frame.StorageKey, true}, {frame.StorageKey, false}} {
		if !s.mirror.keeps(s.login, a) {
			continue
		}
		var items struct{ Entries [][2]string }
		if s.call(ctx, t.session, "DOMStorage.getDOMStorageItems", object{
			"storageId": object{"storageKey": a.key, "isLocalStorage": a.local},
		}, &items) == nil {
			s.mu.Lock()
			s.mirror.replace(a, items.Entries)
			s.mu.Unlock()
		}
	}
}

// storages returns what is mirrored: session storage by origin, and partitioned
// storage by key.
func (m *mirror) storages() (session, partitioned []tokenvault.StateOrigin) {
	for _, a := range slices.SortedFunc(maps.Keys(m.areas), func(a, b area) int { return cmp.Compare(a.key, b.key) }) {
		if len(m.areas[a]) == 0 {
			continue
		}
		var items []tokenvault.StateItem
		for _, name := range slices.Sorted(maps.Keys(m.areas[a])) {
			items = append(items, tokenvault.StateItem{Name: name, Value: tokenvault.StateText(m.areas[a][name])})
		}
		if a.local {
			partitioned = append(partitioned, tokenvault.StateOrigin{Origin: a.key, LocalStorage: items})
			continue
		}
		origin, _, _ := tokenvault.StorageKey(a.key)
		session = append(session, tokenvault.StateOrigin{Origin: origin, LocalStorage: items})
	}
	return session, partitioned
}

// A kept is what read.js returns.
type kept struct {
	UserAgent    string                 `json:"userAgent"`
	LocalStorage []tokenvault.StateItem `json:"localStorage"`
	IndexedDB    json.RawMessage        `json:"indexedDB"`
}

// readOrigins reads what origins keep on disk.
func (s *Session) readOrigins(ctx context.Context, origins []string) (all []tokenvault.StateOrigin, agent string, err error) {
	b, done, err := s.openBlank(ctx, "")
	if err != nil {
		return nil, "", err
	}
	defer done()
	limits := object{"databases": maxDatabases, "records": maxRecords, "bytes": maxStoreBytes, "total": maxAllBytes}
	for _, origin := range origins {
		if err := b.visit(ctx, origin); err != nil {
			return nil, "", err
		}
		var text string
		if err := b.run(ctx, readScript, limits, &text); err != nil {
			return nil, "", err
		}
		var k kept
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			return nil, "", err
		}
		agent = k.UserAgent
		o := tokenvault.StateOrigin{Origin: origin, LocalStorage: k.LocalStorage}
		if string(k.IndexedDB) != "[]" {
			o.IndexedDB = tokenvault.StateJSON(k.IndexedDB)
		}
		if len(o.LocalStorage) > 0 || o.IndexedDB != nil {
			all = append(all, o)
		}
	}
	return all, agent, nil
}
