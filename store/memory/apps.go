package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/ai-token-vault/tokenvault"
)

// app returns the app of exactly the organization at the provider.
func (s *Store) app(tenant, organizationID, providerID string) (tokenvault.SealedApp, bool) {
	for _, a := range s.apps {
		if a.Tenant == tenant && a.OrganizationID == organizationID && a.ProviderID == providerID {
			return a, true
		}
	}
	return tokenvault.SealedApp{}, false
}

func copyApp(a tokenvault.SealedApp) tokenvault.SealedApp {
	a.Scopes = slices.Clone(a.Scopes)
	a.Record = copyRecord(a.Record)
	return a
}

// PutApp implements [tokenvault.AppStore].
func (s *Store) PutApp(ctx context.Context, app tokenvault.SealedApp, event tokenvault.Event) (tokenvault.App, error) {
	now, unlock, err := s.lock(ctx, "put app")
	if err != nil {
		return tokenvault.App{}, err
	}
	defer unlock()
	old, exists := s.apps[rowID{app.Tenant, app.ID}]
	same, taken := s.app(app.Tenant, app.OrganizationID, app.ProviderID)
	if exists != (app.Version > 1) || exists && old.Version != app.Version-1 || taken && same.ID != app.ID {
		return tokenvault.App{}, failed("put app", tokenvault.ErrConflict)
	}
	if err := s.checkKey(app.Tenant, app.Record); err != nil {
		return tokenvault.App{}, failed("put app", err)
	}
	app = copyApp(app)
	app.CreatedAt, app.UpdatedAt = now, now
	if exists {
		app.CreatedAt = old.CreatedAt
	}
	s.apps[rowID{app.Tenant, app.ID}] = app
	s.write(now, event)
	return copyApp(app).App, nil
}

// GetApp implements [tokenvault.AppStore].
func (s *Store) GetApp(ctx context.Context, tenant, id string) (tokenvault.SealedApp, error) {
	_, unlock, err := s.lock(ctx, "get app")
	if err != nil {
		return tokenvault.SealedApp{}, err
	}
	defer unlock()
	app, ok := s.apps[rowID{tenant, id}]
	if !ok {
		return tokenvault.SealedApp{}, failed("get app", tokenvault.ErrNotFound)
	}
	return copyApp(app), nil
}

// FindApp implements [tokenvault.AppStore].
func (s *Store) FindApp(ctx context.Context, tenant, organizationID, providerID string) (tokenvault.SealedApp, error) {
	_, unlock, err := s.lock(ctx, "find app")
	if err != nil {
		return tokenvault.SealedApp{}, err
	}
	defer unlock()
	app, ok := s.app(tenant, organizationID, providerID)
	if !ok {
		app, ok = s.app(tenant, "", providerID)
	}
	if !ok {
		return tokenvault.SealedApp{}, failed("find app", tokenvault.ErrNotFound)
	}
	return copyApp(app), nil
}

// ListApps implements [tokenvault.AppStore]. It sorts by id.
func (s *Store) ListApps(ctx context.Context, tenant, organizationID string) ([]tokenvault.App, error) {
	_, unlock, err := s.lock(ctx, "list apps")
	if err != nil {
		return nil, err
	}
	defer unlock()
	var apps []tokenvault.App
	for _, a := range s.apps {
		if a.Tenant == tenant && a.OrganizationID == organizationID {
			apps = append(apps, copyApp(a).App)
		}
	}
	slices.SortFunc(apps, func(a, b tokenvault.App) int { return cmp.Compare(a.ID, b.ID) })
	return apps, nil
}

// DeleteApp implements [tokenvault.AppStore].
func (s *Store) DeleteApp(ctx context.Context, tenant, id string, event tokenvault.Event) error {
	now, unlock, err := s.lock(ctx, "delete app")
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := s.apps[rowID{tenant, id}]; !ok {
		return failed("delete app", tokenvault.ErrNotFound)
	}
	delete(s.apps, rowID{tenant, id})
	s.write(now, event)
	return nil
}
