import { signIn } from "../../../lib/session";

export async function POST(request: Request) {
  const name = (await request.formData()).get("name");
  if (typeof name !== "string" || !/^[a-z]{1,20}$/.test(name)) {
    return Response.json({ error: "A name is 1 to 20 letters" }, { status: 400 });
  }
  await signIn(name);
  return new Response(null, { status: 303, headers: { Location: "/" } });
}
