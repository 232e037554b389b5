from experiments.locality import main

main()
