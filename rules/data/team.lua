-- Who is on call, as identities that we have a channel for. Put your own people here.
return {
  on_call = { "telegram:4242" },
}
