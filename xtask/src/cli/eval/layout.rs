//! What the folders of the protocols hold, as `--help` shows it.
//! Knows no file.

pub(super) const IJB: &str = "\
DIR holds the lists as they were published and the images in one of two folders; lists of 1:N may be missing:
  DIR/meta/ijbc_face_tid_mid.txt         IMAGE TEMPLATE MEDIA (ijbb_… of IJB-B)
  DIR/meta/ijbc_template_pair_label.txt  TEMPLATE TEMPLATE 0|1
  DIR/meta/ijbc_name_5pts_score.txt      IMAGE, ten coordinates, the detector's score
  DIR/meta/ijbc_1N_gallery_G1.csv        TEMPLATE,SUBJECT; and G2 (S1, S2 of IJB-B)
  DIR/meta/ijbc_1N_probe_mixed.csv       TEMPLATE,SUBJECT
  DIR/loose_crop/1.jpg                   photographs, cut out by the landmarks, or
  DIR/aligned/1.jpg                      faces of the network's size

The embedding of an image is that of the face plus that of its mirror image, times the detector's score. Those of one
media are averaged, the media are added, and the sum has length 1.";

pub(super) const MEGAFACE: &str = "\
DIR holds the aligned faces and, for --refined, the lists of wrong ones, the end of a path in each line:
  DIR/facescrub/PERSON/IMAGE.jpg  probes
  DIR/megaface/**/IMAGE.jpg       distractors
  DIR/facescrub_noises.txt
  DIR/megaface_noises.txt

--features takes a folder of feature files too: the same paths with .bin behind them, each of four i32 (n, 1, 4, 5) and
n f32, little endian.";

pub(super) const LFR_IMAGE: &str = "\
DIR holds the aligned faces:
  DIR/faces/PERSON/IMAGE.jpg
  DIR/distractors/**/IMAGE.jpg

Pairs of two distractors are not compared: nobody knows whom they show.";

pub(super) const LFR_VIDEO: &str = "\
DIR holds the aligned frames:
  DIR/videos/PERSON/VIDEO/FRAME.jpg";

pub(super) const YTF: &str = "\
DIR holds the list as it was published and the aligned frames:
  DIR/splits.txt                     FOLD, PERSON/VIDEO, PERSON/VIDEO, 0|1
  DIR/frames/PERSON/VIDEO/FRAME.jpg";
