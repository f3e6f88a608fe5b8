package cdpsession

import (
	"context"
	"fmt"
	"time"

	"github.com/ai-token-vault/tokenvault"
	"github.com/ai-token-vault/tokenvault/internal/cdp"
)

// restore puts a state into the browser before a page of its origins is opened: into
// the browser itself, and into a tab what is kept for each tab alone.
func (s *Session) restore(ctx context.Context, tab *target, state tokenvault.BrowserState) error {
	all, err := tokenvault.ParseStorageState(state.StorageState)
	if err != nil {
		return err
	}
	of := all.Of(s.login)
	if err := s.setCookies(ctx, of.Cookies); err != nil {
		return fmt.Errorf("restore cookies: %w", err)
	}
	if err := s.writeOrigins(ctx, of.Origins); err != nil {
		return fmt.Errorf("restore storage: %w", err)
	}
	if err := s.writePartitioned(ctx, of.PartitionedLocalStorage); err != nil {
		return fmt.Errorf("restore storage of frames: %w", err)
	}
	if err := s.writeSession(ctx, tab, of.SessionStorage); err != nil {
		return fmt.Errorf("restore storage of the tab: %w", err)
	}
	return nil
}

// setCookies sets cookies, all at once or, if the browser refuses one, one by one
// without it.
func (s *Session) setCookies(ctx context.Context, cookies []tokenvault.StateCookie) error {
	now := float64(time.Now().Unix())
	var all []object
	for _, c := range cookies {
		if c.Expires >= 0 && c.Expires <= now {
			continue
		}
		all = append(all, protocolCookie(c))
	}
	if len(all) == 0 {
		return nil
	}
	err := s.call(ctx, "", "Storage.setCookies", s.inContext(object{"cookies": all}), nil)
	if !cdp.IsRefusal(err) {
		return err
	}
	for _, c := range all {
		if err := s.call(ctx, "", "Storage.setCookies", s.inContext(object{"cookies": []object{c}}), nil); err != nil && !cdp.IsRefusal(err) {
			return err
		}
	}
	return nil
}

func protocolCookie(c tokenvault.StateCookie) object {
	o := object{
		"name": c.Name, "value": string(c.Value), "domain": c.Domain, "path": c.Path, "httpOnly": c.HTTPOnly, "secure": c.Secure,
	}
	if c.SameSite != "" {
		o["sameSite"] = c.SameSite
	}
	if c.Expires >= 0 {
		o["expires"] = c.Expires
	}
	if c.PartitionKey != "" {
		o["partitionKey"] = partitionKey{c.PartitionKey, c.HasCrossSiteAncestor}
	}
	return o
}

// writeOrigins writes what origins keep on disk.
func (s *Session) writeOrigins(ctx context.Context, origins []tokenvault.StateOrigin) error {
	if len(origins) == 0 {
		return nil
	}
	b, done, err := s.openBlank(ctx, "")
	if err != nil {
		return err
	}
	defer done()
	for _, o := range origins {
		if err := b.visit(ctx, o.Origin); err != nil {
			return err
		}
		var ok bool
		if err := b.run(ctx, writeScript, o, &ok); err != nil {
			return err
		}
		s.mu.Lock()
		s.mirror.saw(s.login, o.Origin) // and reads it again when it is captured
		s.mu.Unlock()
	}
	return nil
}

// framed is a document that writes what its parent sends it, and says so. It is shown
// by blank pages only, which run nothing of a site.
const framed = `<script>if(parent!==self){onmessage=e=>{for(const{name,value}of e.data)localStorage.setItem(name,value);parent.postMessage("written","*")};parent.postMessage("ready","*")}</script>`

// frameScript shows a frame of another origin, and has it write what it is sent.
const frameScript = `({origin, items}) => new Promise((resolve, reject) => {
  const frame = document.createElement("iframe");
  onmessage = (e) => {
    if (e.source !== frame.contentWindow) return;
    if (e.data === "ready") frame.contentWindow.postMessage(items, origin);
    if (e.data === "written") resolve(true);
  };
  setTimeout(() => reject(new Error("no answer")), 10000);
  frame.src = origin + "/";
  document.documentElement.append(frame);
})`

// writePartitioned writes what frames keep inside the pages of a site.
func (s *Session) writePartitioned(ctx context.Context, origins []tokenvault.StateOrigin) error {
	if len(origins) == 0 {
		return nil
	}
	b, done, err := s.openBlank(ctx, framed)
	if err != nil {
		return err
	}
	defer done()
	for _, o := range origins {
		frame, top, _ := tokenvault.StorageKey(o.Origin)
		if err := b.visit(ctx, top); err != nil {
			return err
		}
		var ok bool
		if err := b.run(ctx, frameScript, object{"origin": frame, "items": o.LocalStorage}, &ok); err != nil {
			return err
		}
		s.mu.Lock()
		for _, item := range o.LocalStorage {
			s.mirror.set(area{o.Origin, true}, item.Name, string(item.Value))
		}
		s.mu.Unlock()
	}
	return nil
}

// writeSession writes what a tab keeps, which takes it through blank pages of each
// origin.
func (s *Session) writeSession(ctx context.Context, tab *target, origins []tokenvault.StateOrigin) error {
	if len(origins) == 0 {
		return nil
	}
	b := blank{s, tab}
	if err := b.answer(ctx, ""); err != nil {
		return err
	}
	defer s.takeBack(ctx, tab)
	for _, o := range origins {
		if err := b.visit(ctx, o.Origin); err != nil {
			return err
		}
		var ok bool
		if err := b.run(ctx, `(items) => { for (const { name, value } of items) sessionStorage.setItem(name, value); return true; }`, o.LocalStorage, &ok); err != nil {
			return err
		}
		s.mu.Lock()
		for _, item := range o.LocalStorage {
			s.mirror.set(area{o.Origin + "/", false}, item.Name, string(item.Value))
		}
		s.mu.Unlock()
	}
	return nil
}

// takeBack makes a tab that was blank one of the session's again, with nothing to go
// back to.
func (s *Session) takeBack(ctx context.Context, tab *target) {
	_ = s.navigate(ctx, tab, "about:blank")
	s.conn.Send(tab.session, "Page.resetNavigationHistory", nil)
	s.conn.Send(tab.session, "Network.setBypassServiceWorker", object{"bypass": false})
	if !s.signs.wantsResponses() {
		s.conn.Send(tab.session, "Network.disable", nil)
	}
	s.sendGuard(tab)
	s.conn.Handle(tab.session, func(e cdp.Event) { s.onEvent(tab, e) })
}
