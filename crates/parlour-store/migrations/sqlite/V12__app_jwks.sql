-- Where an app's tokens' keys stand, if not here.
create table app_jwks (
  app integer primary key references apps (id),
  url text not null
) strict;
