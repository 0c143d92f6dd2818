-- What an app holds its users to, where that differs from the configuration.
create table app_limits (
  app integer primary key references apps (id),
  limits text not null
) strict;
