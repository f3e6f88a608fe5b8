export default function Page() {
  return (
    <main>
      <h1>Sign in</h1>
      <form className="signin" method="post" action="/api/session">
        <label htmlFor="name">Name</label>
        <input id="name" name="name" defaultValue="ada" pattern="[a-z]{1,20}" required />
        <button type="submit">Sign in</button>
      </form>
    </main>
  );
}
