import { redirect } from "next/navigation";
import { currentUser } from "../../lib/session";
import { Settings } from "./settings";

export default async function Page() {
  if (!(await currentUser())) redirect("/signin");
  return (
    <main>
      <header>
        <h1>Connections</h1>
        <a href="/">Chat</a>
      </header>
      <Settings />
    </main>
  );
}
