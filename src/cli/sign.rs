//! `usersig sign`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{Outcome, secret, usage};
use crate::config::parse_lifetime;
use crate::http::now;
use crate::ticket::{FieldError, Lifetime, Privileges, Room, SdkAppId, Signer, UserId};

#[derive(Args)]
pub(super) struct SignArgs {
    /// The app
    #[arg(long, value_name = "N")]
    sdk_app_id: SdkAppId,
    /// The file with the app's secret; without it the secret is read from the environment variable `USERSIG_SECRET`
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// The user
    #[arg(long, value_name = "U")]
    user_id: UserId,
    /// How long the ticket lives, such as 90s, 15m, 24h or 7d
    #[arg(long, default_value = "24h", value_parser = parse_lifetime, value_name = "DURATION")]
    expire: Lifetime,
    /// Makes it a PrivateMapKey for this numeric TRTC room
    #[arg(long, value_name = "N", group = "any_room", value_parser = room)]
    room: Option<Room>,
    /// Makes it a PrivateMapKey for this string TRTC room
    #[arg(long, value_name = "TEXT", group = "any_room", value_parser = Room::text)]
    room_str: Option<Room>,
    /// What a PrivateMapKey allows: names with commas between them; everything when left out
    #[arg(long, value_name = "NAMES", requires = "any_room", value_parser = privileges)]
    privileges: Option<Privileges>,
}

pub(super) fn run(args: SignArgs) -> Outcome {
    let secret = secret(args.secret_file)?;
    let secret = secret.unwrap_or_else(|| usage("no secret: give --secret-file, or set USERSIG_SECRET"));
    let signer = Signer::new(args.sdk_app_id, secret);
    let ticket = match args.room.or(args.room_str) {
        None => signer.user_sig(&args.user_id, now(), args.expire),
        Some(room) => {
            let privileges = args.privileges.unwrap_or(Privileges::ALL);
            signer.private_map_key(&args.user_id, &room, privileges, now(), args.expire)
        }
    };
    writeln!(io::stdout(), "{ticket}")?;
    Ok(ExitCode::SUCCESS)
}

fn room(text: &str) -> Result<Room, String> {
    let number: u64 = text.parse().map_err(|_| "is not a number; --room-str is for string rooms")?;
    Room::number(number).map_err(|error| error.to_string())
}

fn privileges(text: &str) -> Result<Privileges, FieldError> {
    Privileges::from_names(text.split(',').map(str::trim))
}
