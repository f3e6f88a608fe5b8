import { redirect } from "next/navigation";
import { currentUser } from "../lib/session";
import { Chat } from "./chat";

export default async function Page() {
  const user = await currentUser();
  if (!user) redirect("/signin");
  return (
    <main>
      <header>
        <h1>Chat</h1>
        <a href="/settings">Connections of {user.userId}</a>
      </header>
      <Chat />
    </main>
  );
}
